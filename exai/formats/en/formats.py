"""How the admin shows times: to the second, sortable, with the zone. Django reads such files, one a locale."""

DATETIME_FORMAT = "Y-m-d H:i:s T"
DATE_FORMAT = "Y-m-d"
