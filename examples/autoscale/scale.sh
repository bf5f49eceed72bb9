#!/usr/bin/env bash
# Carries out one message of the webhook against a cloud that this script makes up: a node is an object at the server, and no machine.
# A real one calls its cloud here, and the machine's kubelet makes the object. scale.sh setTargetSize GROUP SIZE | deleteNode GROUP SIZE NODE
set -euo pipefail
server=${PODBERTH_URL:-http://127.0.0.1:8080} action=$1 group=$2 size=$3

case $action in
    setTargetSize)
        for ((number = 1; number <= size; number++)); do
            node='{"metadata": {"name": "'$group-$number'", "labels": {"autoscaling.podberth.io/node-group": "'$group'"}},
                "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}}'
            # One that is there already is refused, which is what is wanted.
            curl -s -o /dev/null "$server/api/v1/nodes" -d "$node"
        done
        ;;
    deleteNode)
        code=$(curl -s -o /dev/null -w "%{http_code}" -X DELETE "$server/api/v1/nodes/$4")
        # One that is gone is deleted.
        [ "$code" = 200 ] || [ "$code" = 404 ]
        ;;
esac
