"""The REST messages as they travel: JSON in camelCase, one module per noun.

What the server sends never leaves a field out that the official clients need, nor is it null where they
would fall over it (an empty list or object instead). `UNSET` marks what is left out.
"""
