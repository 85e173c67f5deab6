"""Loss against model size at each budget, the parabolas and their minima, and what those say (Hoffmann 2022, figure 3)."""
from analysis.figures.source import Source
CAPTION=""
def figure(source: Source, width: float = 5.5):
    source.isoflop()
