"""What the book needs around `dip_blocks`: pictures, stored runs, baselines, figures, pages."""
