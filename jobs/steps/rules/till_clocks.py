"""till_clocks: the query of check_night that finds tills with a clock that seems to differ from the camera's.

A clock that is off by minutes gives photos to the wrong buyer or to none. The matches then look normal, because their
photos are within the spans as always. So the query looks for the shift of a till's clock with which most of its
receipts would have a photo. A receipt and a photo fit each other for a range of shifts, if they are at most about an
hour apart, or within minutes of a multiple of half an hour. A receipt counts once, however many photos fit it. If the
clock is right, no shift is clearly better than none. A till that writes local time needs a shift of whole or half
hours.
"""

from __future__ import annotations

from jobs.settings import PREFIX

ENOUGH_WITH_PHOTO_SHARE = 0.75
"""Tills with a photo for at least this share of their receipts are not examined. The limit must be well above 0.6:
where receipts follow each other closely, even a wrong clock gives about six of ten a photo.
"""
RECEIPTS_ASKED = 60
"""Size of the sample of receipts per till. It bounds the work at a till with very many."""
FARTHEST_SHIFT_SECONDS = 3900
"""Farthest shift that is tried in full: long enough for a clock that missed the change to summer time."""
FARTHEST_SHIFT_HOURS = 14
"""Farthest time zone that is tried: none is further from UTC."""
ZONE_STEP_SECONDS = 1800
"""Time zones are whole hours from UTC, or half hours as in India and Iran."""
SECONDS_FROM_ZONE = 120
"""A clock in local time may be off by this much in addition. More would pair every receipt with photos of all day."""
LEAST_GAIN_RECEIPTS = 5
LEAST_GAIN_STANDARD_ERRORS = 2.5
"""Least gain in receipts with a photo for a shift to be reported: the best of many shifts is also the luckiest one."""

_OR_NONE = "coalesce(format('{{:.0f}}', {}), 'none')"
_FARTHEST_SECONDS = 3600 * FARTHEST_SHIFT_HOURS + SECONDS_FROM_ZONE
_SETTING = f"{PREFIX}TILL_CLOCK_SKEW_SECONDS"

DISAGREEING_CLOCKS = f"""
WITH tills AS (
    SELECT store_id, till_id, any_value(till_clock_skew_seconds) AS skew, least(count(*), {RECEIPTS_ASKED}) AS asked,
        count(*) AS receipts, count(photo_offset_seconds) AS with_photo, median(photo_offset_seconds) AS offset_seconds
    FROM transaction_ages GROUP BY ALL HAVING avg((photo_offset_seconds IS NOT NULL)::INT) < {ENOUGH_WITH_PHOTO_SHARE}
),
receipts AS (
    SELECT store_id, till_id, transaction_id, till_clock_skew_seconds AS skew, epoch(closed_at) - skew AS closes,
        -- spans that overlap are cut, so that a photo fits one receipt at a shift
        greatest(epoch(opened_at) - skew, lag(closes) OVER (PARTITION BY store_id, till_id ORDER BY closes)) AS opens
    FROM transaction_ages SEMI JOIN tills USING (store_id, till_id)
),
asked AS (
    FROM receipts QUALIFY row_number() OVER (PARTITION BY store_id, till_id ORDER BY hash(transaction_id))
        <= {RECEIPTS_ASKED}
),
photos AS (
    SELECT store_id, till_id, epoch(taken_at) AS taken FROM checkout_photos
    WHERE transaction_id IS NULL AND taken_at IS NOT NULL
),
ranges AS (
    SELECT store_id, till_id, asked.transaction_id, opens - taken AS since, closes - taken AS until,
        {ZONE_STEP_SECONDS} * floor((until + {SECONDS_FROM_ZONE}) / {ZONE_STEP_SECONDS}) AS zone
    FROM asked JOIN photos USING (store_id, till_id)
    WHERE taken BETWEEN opens - {_FARTHEST_SECONDS} AND closes + {_FARTHEST_SECONDS}
        AND (taken BETWEEN opens - {FARTHEST_SHIFT_SECONDS} AND closes + {FARTHEST_SHIFT_SECONDS}
            OR zone >= since - {SECONDS_FROM_ZONE})
),
apart AS (
    SELECT store_id, till_id, until,
        greatest(since, lag(until) OVER (PARTITION BY store_id, till_id, transaction_id ORDER BY since)) AS since
    FROM ranges
),
steps AS (
    SELECT store_id, till_id, shift, sum(step) AS step
    FROM (SELECT store_id, till_id, since AS shift, 1 AS step FROM apart
          UNION ALL SELECT store_id, till_id, until, -1 FROM apart)
    GROUP BY ALL
),
fits AS (
    SELECT store_id, till_id, shift AS since, lead(shift) OVER by_shift AS until, sum(step) OVER by_shift AS fitting,
        {ZONE_STEP_SECONDS} * floor(until / {ZONE_STEP_SECONDS}) AS zone,
        -- whole or half hours that fit as well as their neighbours are what a person would set
        CASE WHEN zone >= since THEN zone ELSE (since + until) / 2 END AS middle
    FROM steps WINDOW by_shift AS (PARTITION BY store_id, till_id ORDER BY shift)
),
best AS (
    SELECT store_id, till_id, max(fitting) AS best,
        coalesce(max(fitting) FILTER (since <= 0 AND until > 0), 0) AS now,
        arg_max(middle, (fitting, -abs(middle))) AS shift
    FROM fits GROUP BY ALL
),
judged AS (
    SELECT *, coalesce(abs(shift) > $till_clock_drift_warning_seconds AND best - now >= {LEAST_GAIN_RECEIPTS}
            AND best - now >= {LEAST_GAIN_STANDARD_ERRORS}
                * sqrt(now * (1 - now / asked) + best * (1 - best / asked)), false) AS is_better_elsewhere,
        with_photo = 0 AND coalesce(now, 0) = 0 AS fits_nowhere,
        shift % {ZONE_STEP_SECONDS} = 0 AS is_zone,
        format('{_SETTING}={{}}/{{}}={{:.0f}}', store_id, till_id, skew + shift) AS setting
    FROM tills JOIN (SELECT store_id, till_id, count(*) AS photos FROM photos GROUP BY ALL) USING (store_id, till_id)
    LEFT JOIN best USING (store_id, till_id)
)
SELECT CASE WHEN is_better_elsewhere THEN format(
        'till {{}}/{{}}: {{}} of {{}} examined receipts have a photo; {{}} would have one if its clock were '
        'taken as {{:.0f}} s ahead of its camera''s instead of {{:.0f}} s (median photo_offset_seconds {{}}, '
        'of all tills {{}}); {{}}try {{}}',
        store_id, till_id, now, asked, best, skew + shift, skew, {_OR_NONE.format("offset_seconds")},
        (SELECT {_OR_NONE.format("median(photo_offset_seconds)")} FROM transaction_ages),
        CASE WHEN is_zone THEN format('{{:g}} hours: is closed_at local time instead of UTC? If not, ', shift / 3600)
            ELSE '' END, setting)
    ELSE format('till {{}}/{{}}: none of its {{}} photos fits one of its {{}} receipts; ', store_id, till_id, photos,
            receipts) || coalesce(format('at most {{}} receipts would have one, with {{}}', best, setting),
            'no shift of its clock up to {FARTHEST_SHIFT_HOURS} hours fits; see {_SETTING}') END
FROM judged WHERE is_better_elsewhere OR fits_nowhere
ORDER BY store_id, till_id
"""
