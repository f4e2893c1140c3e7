"""How the admin shows times: to the second, sortable, with the zone. Django takes a locale's formats from such files."""

DATETIME_FORMAT = "Y-m-d H:i:s T"
DATE_FORMAT = "Y-m-d"
