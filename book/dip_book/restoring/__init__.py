"""Restoring a picture of the reader's own.

core       from an array with holes to one without: `fill`
held_out   which known pixels are hidden from every method, to measure them by
regions    what is cut out of a large picture, and how it is put together again
classical  filling without a network
networks   networks that are shown a part and asked for the rest, whole holes at a time
budget     what a time limit and a memory limit allow
"""
