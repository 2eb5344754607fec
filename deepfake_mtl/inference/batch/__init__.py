"""Many videos: which to judge, in processes that may die, and what is written about them."""
