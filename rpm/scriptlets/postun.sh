systemctl daemon-reload >/dev/null 2>&1 || :
# With the last version ($1 = 0) go the folders that were nacre's alone, the inner ones first, unless something of yours lies in them. Where rpm/build
# made the package rpm does not know them. The variable is rpm's, for packages below another root; here it is empty.
if [ "$1" -eq 0 ]; then
    for folder in \
        /etc/nacre \
        /srv/pillar/base/nacre \
        /srv/salt/nacre/files \
        /srv/salt/nacre \
        /usr/libexec/nacre \
        /usr/share/doc/nacre-dom0/guide \
        /usr/share/doc/nacre-dom0 \
        /usr/share/licenses/nacre-dom0 \
        /usr/share/nacre; do
        rmdir "${RPM_INSTALL_PREFIX-}$folder" 2>/dev/null || :
    done
fi
