"""Says whether an AWS request is signed rightly, by botocore's implementation of Signature Version 4.

Reads from standard input {"method", "url", "headers": [[name, value]], "body", "keys": {ID: [SECRET, TOKEN]}, "region",
"service"} and prints "ok", or what is wrong.
"""

import datetime
import json
import re
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def verify(request):
    headers = {name.lower(): value for name, value in request["headers"]}
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if not match:
        return "no well-formed Authorization header"
    key, day, region, service, names, signature = match.groups()
    names = names.split(";")
    time = headers.get("x-amz-date", "")
    if not time.startswith(day):
        return "X-Amz-Date is not of the day of the scope"
    age = datetime.datetime.utcnow() - datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ")
    if abs(age) > datetime.timedelta(minutes=15):
        return "X-Amz-Date is not of now"
    if [region, service] != [request["region"], request["service"]]:
        return f"scope {region}/{service}, expected {request['region']}/{request['service']}"
    if key not in request["keys"]:
        return f"unknown access key {key}"
    secret, token = request["keys"][key]
    if headers.get("x-amz-security-token", "") != token:
        return "X-Amz-Security-Token is not that of the key"
    for name in ["host", "content-type", "x-amz-date"] + (["x-amz-security-token"] if token else []):
        if name not in names:
            return f"{name} is not signed"
    if names != sorted(names):
        return "SignedHeaders are not sorted"

    auth = SigV4Auth(Credentials(key, secret, token or None), service, region)
    signed = {name: headers[name] for name in names}
    again = AWSRequest(request["method"], request["url"], headers=signed, data=request["body"].encode())
    again.context["timestamp"] = time
    expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return "ok" if signature == expected else "the signature does not match"


print(verify(json.load(sys.stdin)))
