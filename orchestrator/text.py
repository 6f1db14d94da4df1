"""How numbers and errors are written for people."""


def duration(seconds: float) -> str:
    """Write a time as 0.4 s, 42 s, 3 min 20 s, 2 h 05 min or 4 d 03 h."""
    if 0 < seconds < 0.95:
        return f"{seconds:.1g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller, part in ((3600, "min", "s", 60), (86400, "h", "min", 3600)):
        if whole < size:
            return f"{whole // part} {unit} {whole % part * 60 // part:02d} {smaller}"
    return f"{whole // 86400:,} d {whole % 86400 // 3600:02d} h"


def last_line(error: object) -> str:
    """Return the line of an error's text that says what is wrong, which Ray puts last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"
