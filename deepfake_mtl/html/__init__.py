"""Pages and pictures that need nothing beside them: templates, drawing, numbers as text.

Knows no results: whoever has some to show brings its own templates.
"""
