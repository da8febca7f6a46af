{#- dom0: the backup qube. It holds no keys and is trusted with nothing but keeping what it is given. -#}
{%- from 'nacre/map.jinja' import qube, here, wrong_place with context %}
{%- if here != 'dom0' %}
{{ wrong_place('qube', 'into dom0') }}
{%- elif qube.get('create') %}
{%- set name = qube['name'] %}

nacre-qube:
  qvm.present:
    - name: {{ name }}
    - template: {{ qube['template'] }}
    - label: {{ qube.get('label', 'gray') }}
    - class: AppVM

nacre-qube-prefs:
  qvm.prefs:
    - name: {{ name }}
    - template: {{ qube['template'] }}
    - label: {{ qube.get('label', 'gray') }}
    - netvm: {{ qube.get('netvm') or '""' }}
    - memory: {{ qube.get('memory', 400) }}
    - autostart: False
    - include_in_backups: False
    - require:
      - qvm: nacre-qube

nacre-qube-tags:
  qvm.tags:
    - name: {{ name }}
    - add:
      - nacre-helper
    - require:
      - qvm: nacre-qube

{%- if qube.get('netvm') and qube.get('reaches') %}
{#- Nothing but the hosts of the archives. #}

nacre-qube-firewall:
  qvm.firewall:
    - name: {{ name }}
    - set:
{%- for goal in qube['reaches'] %}
      - action=accept dsthost={{ goal['host'] }} proto=tcp dstports={{ goal.get('port', 22) }}-{{ goal.get('port', 22) }}
{%- if not goal['host'] | regex_match('^([0-9./]+|[0-9a-fA-F:/]*:[0-9a-fA-F:/]*)$') %}
      - action=accept specialtarget=dns
{%- endif %}
{%- endfor %}
      - action=drop
    - require:
      - qvm: nacre-qube
{%- endif %}

{%- if qube.get('size') %}

nacre-qube-size:
  cmd.run:
    - name: qvm-volume resize '{{ name }}:private' '{{ qube['size'] }}'
    {#- Grown only; a volume that somebody made larger stays so. #}
    - unless: test "$(qvm-volume info '{{ name }}:private' size)" -ge "$(numfmt --from=auto '{{ qube['size'] | replace('iB', 'i') }}')"
    - require:
      - qvm: nacre-qube
{%- endif %}
{%- endif %}
