# As postun.sh, for the helper's package.
if [ "$1" -eq 0 ]; then
    for folder in \
        /usr/share/doc/nacre-helper \
        /usr/share/licenses/nacre-helper; do
        rmdir "${RPM_INSTALL_PREFIX-}$folder" 2>/dev/null || :
    done
fi
