"""A run's configuration, a `ConfigDict`; `configs/base.py` says what each field means.

Imports no other room, and every room may import it. Read in this order:
    record    as JSON, with the fields that came later; what differs between two
    levels    what a network is trained for and measured by
    checks    every field that could go wrong
"""
