"""From photos to ages, and from ages to mixes of ages: inference, matching, statistics."""
