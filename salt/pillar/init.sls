# What Salt is to set up for nacre. As it stands here it does nothing: take away the # and put in your own words. Then, in dom0:
#
#   sudo qubesctl top.enable nacre pillar=true
#   sudo qubesctl state.apply
#   sudo qubesctl --skip-dom0 --targets=TEMPLATE,QUBE state.apply
#
# No secret belongs here, nor anywhere else below /srv: qubesctl copies it into a disposable. Keys are made in dom0 and stay in /etc/nacre.
# An archive made from here opens with its key file alone: print its recovery sheet with `nacre key recovery --dest=NAME` before you rely on it.

nacre: {}
#nacre:
#  # The qube that keeps the backups, or reaches the place that does.
#  qube:
#    name: sys-backup
#    create: True
#    template: debian-13-minimal
#    label: gray
#    # Without this line it has no network, which is right for disks and for archives in the qube itself.
#    netvm: sys-firewall
#    # The only places that it may reach.
#    reaches:
#      - {host: nas.lan, port: 22}
#    memory: 400
#    # Of its private volume, if archives lie in there.
#    size: 200GiB
#
#  # How the template gets the helper: `file` from dom0, `package` from its repositories.
#  helper: file
#
#  # What the service in the qube lets dom0 use.
#  storage:
#    bases: [/home/user/backup]
#    ssh: True
#    usb: False
#    append_only: False
#    # Lines of known_hosts, as `ssh-keyscan HOST` prints them and as the host's own console confirms them.
#    host_keys:
#      - nas.lan ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI...
#
#  # Sections [target NAME] of nacre.ini(5). With `create`, an archive that is not there is made, with its key file.
#  targets:
#    nas:
#      dest: qubes-ssh://sys-backup:backup@nas.lan/srv/backup/laptop
#      key-file: /etc/nacre/nas.key
#      create: True
#    local:
#      dest: qubes://sys-backup/home/user/backup
#      key-file: /etc/nacre/local.key
#
#  # [var-global-default].
#  settings:
#    dest: [nas, local]
#    dedup: 1
#
#  # [retention], in this order: the first line that fits counts.
#  retention:
#    - vm-vault-*: keep-all
#    - '*': keep-daily 7, keep-weekly 4, keep-monthly 12
#
#  timer:
#    enabled: True
#    calendar: '*-*-* 12:30'
