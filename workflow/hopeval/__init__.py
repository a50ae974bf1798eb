"""hopeval: how well does a retrieval-augmented system answer multi-hop questions?"""

__version__ = "0.1.0"
