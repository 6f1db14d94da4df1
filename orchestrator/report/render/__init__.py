"""A report as HTML, Markdown, LaTeX and in a terminal."""
