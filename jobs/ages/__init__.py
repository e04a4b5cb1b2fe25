"""From photos to ages, and from single ages to the ages of many buyers: inference, matching, statistics."""
