#!/bin/sh
# Puts together the folder from which Home Assistant's Supervisor builds the add-on:
#
#   sh deploy/home-assistant-addon/pack.sh /addons/wx2mqtt
#
# It needs a clone and a shell, such as that of Home Assistant's Terminal & SSH. The Supervisor builds an add-on from its
# own folder alone, and takes the image of a release where `config.yaml` names one, so that line is left out.
# Where Docker Hub or PyPI is slow or blocked, mirrors stand in for them; digest and hashes are checked all the same:
#
#   IMAGES=docker.m.daocloud.io/library PACKAGES=https://pypi.tuna.tsinghua.edu.cn/simple sh …/pack.sh /addons/wx2mqtt
set -eu
folder=${1:?"usage: sh deploy/home-assistant-addon/pack.sh FOLDER"}
clone=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$folder"
mkdir -p "$folder/program"
cp -r "$clone/deploy/home-assistant-addon/." "$folder"
cp "$clone/deploy/requirements.lock" "$clone/deploy/fallback.lock" "$clone/deploy/docker/wx2mqtt" "$folder"
cp -r "$clone/wx2mqtt" "$folder/program"
mkdir "$folder/home-assistant" # blueprints and card, for a house without the internet
cp -r "$clone/deploy/home-assistant/blueprints" "$clone/deploy/home-assistant/dashboard.yaml" "$folder/home-assistant"
find "$folder" -name __pycache__ -prune -exec rm -rf {} +
sed -i '/^image: /d' "$folder/config.yaml"
if [ -n "${IMAGES:-}" ]; then
    sed -i "s#^FROM python:#FROM $IMAGES/python:#" "$folder/Dockerfile"
fi
if [ -n "${PACKAGES:-}" ]; then
    sed -i "s#^ENV PIP_#ENV PIP_INDEX_URL=$PACKAGES PIP_#" "$folder/Dockerfile"
fi
