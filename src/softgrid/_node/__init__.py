"""One running executor: the brain and the hands put together behind one lock."""
