"""The world: files, terminals, processes; one file a verb."""

if __name__ != "pefstack.tools":
    raise ImportError("import pefstack.tools, not tools")
