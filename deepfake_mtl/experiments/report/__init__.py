"""From the folder of a benchmark to its table, with statistics: ``deepfake-mtl report``.

`runs` reads the folder; `cells` and `comparisons` compute; `tables`, `pictures` and `page` show.
Only the last two need matplotlib and jinja2.
"""
