<%-- What was received: method, headers, size and SHA-1 of the body. --%>
<%@ page session="false" contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true"
    import="java.security.MessageDigest, java.util.Collections" %>
<%
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");

    MessageDigest sha1 = MessageDigest.getInstance("SHA-1");
    byte[] buf = new byte[65536];
    long size = 0;
    for (int n; (n = request.getInputStream().read(buf)) > 0; size += n) {
        sha1.update(buf, 0, n);
    }
    StringBuilder hex = new StringBuilder();
    for (byte b : sha1.digest()) {
        hex.append(String.format("%02x", b));
    }
    String query = request.getQueryString();

    out.println("method: " + request.getMethod());
    out.println("uri: " + request.getRequestURI());
    out.println("query: " + (query == null ? "-" : query));
    out.println("body-bytes: " + size);
    out.println("body-sha1: " + hex);
    for (String name : Collections.list(request.getHeaderNames())) {
        for (String value : Collections.list(request.getHeaders(name))) {
            out.println("header: " + name + ": " + value);
        }
    }
%>
