# docker build -t iid . && docker run --rm -v "$PWD:/work" iid run quickstart
FROM python:3.11-slim

# PyTorch compiles kernels at run time and needs a compiler for that.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/iid
RUN pip install --no-cache-dir -c /opt/iid/constraints.txt '/opt/iid[s3]'

# Stores, reports and data are written to the mounted folder.
WORKDIR /work
ENTRYPOINT ["iid"]
CMD ["--help"]
