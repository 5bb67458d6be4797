"""What `dip_blocks` stands on and a reader of the method need not read.

    layers     convolutions, upsampling and dropout: the same on every device, or in less work
    inputs     a network's first weights, and its z
    engine     the verbs of an iteration: step or go back, average, note; checkpoints, recording
    muon       the optimiser Muon
    finish     what was drawn, averaged; and the known pixels put back
    checks     pictures, masks and recipes: what may be put in
    devices    what a machine has, and how it is set while the loop runs
    ablations  choices that serve a row of a table

Nothing here imports `dip_blocks`.
"""
