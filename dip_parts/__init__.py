"""What `dip_blocks` stands on and a reader of the method need not read.

    layers   convolutions, upsampling and dropout: the same on every device, or in less work
    muon     the optimiser Muon
    checks   pictures, masks and recipes: what may be put in
    devices  what a machine has, and how it is set while the loop runs
    engine   the loop's machinery: one vector of weights, going back, notes, checkpoints

Nothing here imports `dip_blocks`.
"""
