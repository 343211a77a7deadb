"""Builders and fakes that the tests of several layers share."""
