"""What a command, an API, a page or a CI bot can ask for: values in, values or an OperationError out.

Nothing is printed here, and no process is ended.
"""
