# Before the last version goes ($1 = 0) the timer is stopped. Archives, /var/lib/nacre and keys are not touched: they are yours.
if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable --now nacre-backup.timer >/dev/null 2>&1 || :
fi
