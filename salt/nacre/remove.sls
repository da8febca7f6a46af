{#- Takes away what this formula put: in dom0 the timer and the settings, in the template the helper, in the backup qube its rules.
    Archives, keys, what dom0 remembers, and the qube itself stay: to throw backups away is nothing for a state.
    qubesctl top.disable nacre; qubesctl state.apply nacre.remove; qubesctl --skip-dom0 --targets=TEMPLATE,QUBE state.apply nacre.remove -#}
{%- from 'nacre/map.jinja' import qube, helper, here, wrong_place with context %}
{%- if here == 'dom0' %}

nacre-timer:
  service.dead:
    - name: nacre-backup.timer
    - enable: False

nacre-calendar:
  file.absent:
    - name: /etc/systemd/system/nacre-backup.timer.d/salt.conf

nacre-units:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: nacre-calendar

nacre-ini:
  file.absent:
    - name: /etc/nacre/nacre.ini
    - onlyif: grep -q '^# Written by Salt (nacre.dom0)' /etc/nacre/nacre.ini
{%- elif here == qube.get('template') %}

{%- if helper == 'package' %}
nacre-helper:
  pkg.removed: []
{%- else %}
{%- for path in ['/etc/qubes-rpc/nacre.Store', '/etc/qubes/rpc-config/nacre.Store+usb', '/usr/lib/qubes/nacre-helper'] %}
{{ path }}:
  file.absent: []
{%- endfor %}
{%- endif %}
{%- elif here == qube.get('name') %}

nacre-storage:
  file.absent:
    - name: /usr/local/etc/qubes-rpc/nacre.Store

nacre-ssh-config:
  file.replace:
    - name: /home/user/.ssh/config
    - pattern: '(?s)# nacre: begin.*?# nacre: end\n?'
    - repl: ''
    - ignore_if_missing: True
    - backup: False

nacre-host-keys:
  file.absent:
    - name: /home/user/.ssh/known_hosts_nacre
{%- else %}
{{ wrong_place('remove', 'into dom0, the template of the backup qube, or the backup qube') }}
{%- endif %}
