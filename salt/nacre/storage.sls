{#- The backup qube: where archives may lie, whether they may be deleted from, and which hosts are the right ones. -#}
{%- from 'nacre/map.jinja' import qube, storage, here, wrong_place with context %}
{%- if here == 'dom0' or here != qube.get('name') %}
{{ wrong_place('storage', 'into the backup qube') }}
{%- else %}
{%- set narrowed = storage.get('bases') or storage.get('append_only') %}
{%- set bases = storage.get('bases') or ['/home', '/mnt', '/media', '/run/media', '/srv', '/var/backups'] %}

nacre-storage:
{%- if narrowed %}
  file.managed:
    - name: /usr/local/etc/qubes-rpc/nacre.Store
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True
    - contents: |
        #!/bin/sh
        # By Salt (nacre.storage); found before the template's service.
        case "${1-}" in
        '') exec /usr/lib/qubes/nacre-helper serve{% if storage.get('append_only') %} --append-only{% endif %}{% if storage.get('ssh') %} --ssh{% endif %}{% for base in bases %} --base '{{ base }}'{% endfor %} ;;
        {%- if storage.get('usb', True) %}
        usb) exec /usr/lib/qubes/nacre-helper serve --usb{% if storage.get('append_only') %} --append-only{% endif %} ;;
        {%- endif %}
        *) echo "nacre.Store: not allowed here" >&2; exit 1 ;;
        esac
{%- else %}
  file.absent:
    - name: /usr/local/etc/qubes-rpc/nacre.Store
{%- endif %}

{%- if storage.get('host_keys') %}

{#- Pinned: ssh asks nobody, and takes no other key for these hosts. #}
nacre-host-keys:
  file.managed:
    - name: /home/user/.ssh/known_hosts_nacre
    - user: user
    - group: user
    - mode: '0600'
    - dir_mode: '0700'
    - makedirs: True
    - contents:
{%- for line in storage['host_keys'] %}
      - {{ line | yaml_dquote }}
{%- endfor %}

nacre-ssh-config:
  file.blockreplace:
    - name: /home/user/.ssh/config
    - marker_start: '# nacre: begin'
    - marker_end: '# nacre: end'
    - prepend_if_not_found: True
    - require:
      - file: nacre-host-keys
      - file: nacre-ssh-config-file
    - content: |
        Host {% for line in storage['host_keys'] %}{{ line.split(' ')[0].replace(',', ' ').replace('[', '').split(']')[0] }}{{ ' ' if not loop.last }}{% endfor %}
            UserKnownHostsFile /home/user/.ssh/known_hosts_nacre
            StrictHostKeyChecking yes

nacre-ssh-config-file:
  file.managed:
    - name: /home/user/.ssh/config
    - user: user
    - group: user
    - mode: '0600'
    - replace: False
    - require:
      - file: nacre-host-keys
{%- endif %}
{%- endif %}
