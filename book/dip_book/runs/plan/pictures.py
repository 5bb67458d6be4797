"""The pictures that choices are made on, and the seeds."""

#: The pictures that choices are made on: free ones, none of the 11 that the final tables are about.
DEVELOPMENT = ("camera", "astronaut")
#: What is tried under Muon is tried on two photographs, and two regular textures, of which the
#: table has some too.
TUNING = (*DEVELOPMENT, "brick", "grass")
#: Of the free pictures, those that come as large as the table's large ones.
FREE_LARGE = ("camera", "brick", "grass")
SEEDS = (0, 1, 2)
