"""The words everything else speaks: names, roles, rules, statuses, errors. Values only, no behaviour that acts."""
