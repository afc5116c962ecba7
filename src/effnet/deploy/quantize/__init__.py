"""int8 with a gate: what loses more than is allowed is not written.

Importing this package imports nothing; `quantize` is in `door`.
"""
