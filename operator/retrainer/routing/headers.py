"""The header in which an arm's name travels: to the server, to the client, and from an application that assigns."""

VARIANT_HEADER = "x-retrainer-variant"
