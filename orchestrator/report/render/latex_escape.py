"""Text for LaTeX: characters that it reads as commands or that its fonts lack."""

import re
import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$",
    ">": "$>$", "|": "$|$", '"': "''", "±": r"$\pm$", "−": "$-$", "–": "--", "—": "---",
    "×": r"$\times$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$", "≈": r"$\approx$",
    "≠": r"$\neq$", "∞": r"$\infty$", "→": r"$\to$", "½": r"$\tfrac12$", "²": "$^2$", "³": "$^3$",
    "°": r"$^\circ$", "µ": r"$\mu$", "‖": r"$\|$", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`",
    "’": "'", "\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": r"\,", "ß": r"\ss{}",
    "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "ł": r"\l{}",
    "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "η": "eta",
    "θ": "theta", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "varphi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Σ": "Sigma", "Φ": "Phi",
    "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=",
    "\u0306": r"\u", "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H",
    "\u030c": r"\v", "\u0327": r"\c", "\u0328": r"\k",
}  # fmt: skip
_SUBSCRIPT = re.compile(r"([λL])_([A-Z]{2})\b")


def escape(text: str) -> str:
    """Return text that LaTeX typesets as it is, on one line.

    A character that its fonts lack becomes its code point.
    """
    parts = _SUBSCRIPT.split(text)
    made = [_escape_plain(parts[0])]
    for letter, index, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        symbol = r"\lambda" if letter == "λ" else letter
        made.append(rf"${symbol}_{{\mathrm{{{index}}}}}$" + _escape_plain(rest))
    return "".join(made).replace(r" $\pm$ ", r"\,$\pm$\,").replace(r" \%", r"\,\%")


def _escape_plain(text: str) -> str:
    # Two hyphens would become one dash.
    parts = unicodedata.normalize("NFC", text).split("--")
    return "-{}-".join("".join(map(_escape_character, part)) for part in parts)


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _GREEK:
        return rf"$\{_GREEK[character]}$"
    if " " <= character <= "~":
        return character
    if unicodedata.category(character).startswith("C"):  # line breaks and other control characters
        return " "
    # "é" is "e" and an accent; LaTeX writes the accent as a command before the letter.
    decomposed = unicodedata.normalize("NFD", character)
    letter, accent = decomposed[0], _ACCENTS.get(decomposed[1:])
    if letter.isascii() and accent:
        return rf"{accent}{{{letter}}}"
    return f"[U+{ord(character):04X}]"
