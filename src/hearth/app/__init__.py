"""Puts the parts together: the only package that names implementations.

A node need not load a server, nor a server a node: each is a module of its own.
"""
