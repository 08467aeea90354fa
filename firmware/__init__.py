"""What runs, in boot order, a page a stage."""

if __name__ != "pefstack.firmware":
    raise ImportError("import pefstack.firmware, not firmware")
