{#- dom0: settings, archives, timer. The package brought this formula, so it is there. -#}
{%- from 'nacre/map.jinja' import nacre, qube, targets, timer, here, wrong_place with context %}
{%- if here != 'dom0' %}
{{ wrong_place('dom0', 'into dom0') }}
{%- else %}

{%- if targets or nacre.get('settings') %}
nacre-ini:
  file.managed:
    - name: /etc/nacre/nacre.ini
    - source: salt://nacre/nacre.ini.jinja
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
{%- endif %}

{#- An archive that the pillar wants and that cannot be opened is made. Its key file is drawn in dom0 and goes nowhere else. #}
{%- for name, target in targets.items() if target.get('create') %}
{%- set reach = "--dest='" ~ name ~ "' --unattended --quiet" %}
nacre-archive-{{ name }}:
  cmd.run:
    - name: /usr/bin/nacre arch-init {{ reach }}
    - unless: /usr/bin/nacre list {{ reach }}
    - require:
      - file: nacre-ini
{%- if qube.get('create') %}
      - sls: nacre.qube
{%- endif %}
{%- endfor %}

{%- if timer %}
nacre-calendar:
{%- if timer.get('calendar') %}
  file.managed:
    - name: /etc/systemd/system/nacre-backup.timer.d/salt.conf
    - makedirs: True
    - mode: '0644'
    - contents: |
        # By Salt (nacre.dom0).
        [Timer]
        OnCalendar=
        OnCalendar={{ timer['calendar'] }}
{%- else %}
  file.absent:
    - name: /etc/systemd/system/nacre-backup.timer.d/salt.conf
{%- endif %}

nacre-units:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: nacre-calendar

nacre-timer:
{%- if timer.get('enabled', True) %}
  service.running:
    - name: nacre-backup.timer
    - enable: True
    - watch:
      - file: nacre-calendar
    - require:
      - cmd: nacre-units
{%- else %}
  service.dead:
    - name: nacre-backup.timer
    - enable: False
{%- endif %}
{%- endif %}
{%- endif %}
