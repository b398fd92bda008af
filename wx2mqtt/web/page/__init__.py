"""The page at `/`: what stands on it, in which words, and how it stays true while somebody looks."""
