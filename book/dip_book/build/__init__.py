"""What makes the book of its sources: a notebook's first cell, the chapters' pairs, the site.

Loads no PyTorch.
"""
