{#- The template of the backup qube: the helper and its qrexec service, from the package or from the files beside this one. -#}
{%- from 'nacre/map.jinja' import qube, helper, here, wrong_place with context %}
{%- if here == 'dom0' or here != qube.get('template') %}
{{ wrong_place('helper', 'into the template of the backup qube') }}
{%- elif helper == 'package' %}

nacre-helper:
  pkg.installed: []
{%- else %}

nacre-helper:
  file.managed:
    - name: /usr/lib/qubes/nacre-helper
    - source: salt://nacre/files/nacre-helper
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True

nacre-service:
  file.managed:
    - name: /etc/qubes-rpc/nacre.Store
    - source: salt://nacre/files/nacre.Store
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True
    - require:
      - file: nacre-helper

nacre-service-usb:
  file.managed:
    - name: /etc/qubes/rpc-config/nacre.Store+usb
    - source: salt://nacre/files/nacre.Store+usb
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
{%- endif %}
