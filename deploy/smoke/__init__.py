"""`make kube-smoke`: the rendered manifests, run by podman with images built here.

What podman lacks is done in its place: a Service's name by the network, where a pod is called
like its workload; probes by asking what the manifests say is to be asked. What it gets otherwise
than a cluster would is all in `manifests.py`.
"""
