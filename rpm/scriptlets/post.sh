# After installing and upgrading. Nothing is enabled, started or run here: that is `nacre setup`'s, or Salt's.
systemctl daemon-reload >/dev/null 2>&1 || :
