"""Transforms for AIStore, one of each kind. Each module's `app` is an ASGI application.

Made when it is first asked for, since an ETL server wants AIS_TARGET_URL, which a pod has and a
test sets:

    AIS_TARGET_URL=http://127.0.0.1:51081/v1/etl/_object/my-etl/secret \\
        asgi-bridge serve examples/etl/gunzip.py:app
"""
