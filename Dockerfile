# Nothing is built here: scripts/build-static puts the two static binaries into target/static first.
FROM scratch
COPY target/static/eraftd target/static/eraftctl /
ENTRYPOINT ["/eraftd"]
CMD ["run"]
