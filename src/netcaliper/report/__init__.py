"""The report floor: tables, figures and one self-contained page, made from readings only (never imports torch)."""
