#!/usr/bin/env python3
"""Validates the JSON document on standard input against the schema in argv[1]; says where it does not fit."""
import json
import sys

import jsonschema

schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
document = json.load(sys.stdin)
errors = list(validator(schema, format_checker=validator.FORMAT_CHECKER).iter_errors(document))
for error in errors:
    print("%s: %s" % (error.json_path, error.message))
sys.exit(1 if errors else 0)
