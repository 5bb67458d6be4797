"""What was reported, stored and computed, as numbers and as the tables that the chapters print."""
